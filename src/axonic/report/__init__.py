"""What is shown: on a terminal, and as pictures."""
