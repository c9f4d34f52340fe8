"""The whole system on one machine, for development, demo and tests: real servers, started as processes."""
