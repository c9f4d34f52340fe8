"""Measurements on a stack that is up."""
