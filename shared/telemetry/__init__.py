"""What the app tells about its work: log lines always, OpenTelemetry traces and metrics when they are switched on."""
