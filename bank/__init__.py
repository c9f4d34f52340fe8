"""The bank, an outside party: its direct-connect interface behind one Protocol, and the HTTP client for it."""
