"""From predictions to what people read."""
