"""The SMS gateway, an outside party: one Protocol, the HTTP client for it, and the words of the message."""
