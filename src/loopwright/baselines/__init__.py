"""What compiled code is compared with: other runtimes, and what the machine itself can do."""
