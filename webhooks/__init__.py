"""What the console's backend is told: every change of status, as a signed Standard Webhooks message."""
