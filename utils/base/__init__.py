"""What everything stands on: settings, errors, files, progress, devices."""
