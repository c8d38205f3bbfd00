"""What networks see: recordings on the device, their features, standardisation."""
