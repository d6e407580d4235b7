"""What a candidate must keep: the structural check first, then its capacity by a proxy score."""
