"""What is shown: on a terminal, and as a page that opens offline."""
