"""What travels through Temporal: encrypted on the way in, and refused on the way out where it was not."""
