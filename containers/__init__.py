"""What containers need beside the services themselves: their settings, made at each `docker compose up`."""
