//! What is enrolled, on the host: galleries in files, the prototypes that they
//! hold, and the thresholds up to which something is taken for one of them.

pub mod allowance;
pub mod calibrate;
pub mod file;
pub mod folds;
pub mod measured;
pub mod prototypes;
