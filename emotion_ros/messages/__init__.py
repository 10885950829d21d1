"""Messages to and from the library's own data."""
