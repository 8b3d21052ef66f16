//! The model in flash, and the sizes that it was built with.

#![allow(dead_code, reason = "not every program needs all of it")]

include!(concat!(env!("OUT_DIR"), "/model.rs"));
