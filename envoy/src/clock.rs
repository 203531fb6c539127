use std::time::{SystemTime, UNIX_EPOCH};

/// Now, in milliseconds since 1970 with microseconds behind the point: the
/// form in which the control plane reports its instants.
pub fn unix_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64() * 1000.0)
}
