"""What lies under everything else: settings, signals, extras, and files that are replaced when they are whole."""
