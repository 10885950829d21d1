"""What every node is made of: its life, its parameters, its inputs and outputs, its health."""
