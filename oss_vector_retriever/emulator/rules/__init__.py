"""Who may ask for what, in which form, and how the service refuses."""
