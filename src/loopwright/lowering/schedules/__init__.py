"""How contractions become loops on a target."""
