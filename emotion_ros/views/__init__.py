"""What follows from estimates: pictures, markers, other packages' messages; and faces that others find."""
