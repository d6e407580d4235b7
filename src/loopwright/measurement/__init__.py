"""Building kernels and timing them here."""
