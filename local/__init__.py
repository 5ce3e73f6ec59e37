"""Stand-ins for the world outside, on one machine: exchange, broker, database, and what starts them."""
