"""What a signal is: channels, units, rates, normalisation."""
