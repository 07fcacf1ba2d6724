"""What taskwell does in a second, and in how much memory, measured on both databases."""
