"""Numbers: counter-based random words, and elementary functions and distributions over float32."""
