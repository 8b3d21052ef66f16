//! From images to a model that a microcontroller runs.
//!
//! Data flows one way:
//!
//! 1. [`dataset`] reads labelled images.
//! 2. [`batch`] says which of them a step sees, distorts them, and prepares the
//!    batches ahead.
//! 3. [`train`] goes through the steps of a [`recipe`], so that the same come close
//!    and the different go apart. It is built on libtorch, as all that needs the
//!    feature `torch`.
//! 4. [`export`] turns the network into integers and writes the `.siam` file that
//!    [`siamese_core::Model`] reads.
//! 5. [`embed`] maps images to points, through the integer path of the core and
//!    nothing else.
//! 6. [`evaluate`] says how good the points are, [`gallery`] enrols and identifies
//!    with them, [`plot`] draws them, and [`explore`] makes a page of them.
//!
//! [`import`] takes networks that were trained elsewhere to the same place.
//! `leave_out` trains shortly without some classes each time, so that thresholds hold for new
//! ones. `pipeline` goes from the trained network to everything that a run leaves behind,
//! `study` compares ways to train, and [`record`] reads what is told of a training beside its
//! model. [`release`] signs a model for devices in the field, and [`drift`] watches them. [`files`],
//! [`limit`] and [`progress`] serve all of them.
//! The command line around it lives in the program, not here.

#![deny(missing_docs)]

pub mod batch;
pub mod dataset;
pub mod drift;
pub mod embed;
pub mod evaluate;
pub mod explore;
pub mod export;
pub mod files;
pub mod gallery;
pub mod import;
#[cfg(feature = "torch")]
pub mod leave_out;
pub mod limit;
#[cfg(feature = "torch")]
pub mod pipeline;
pub mod plot;
pub mod progress;
pub mod recipe;
pub mod record;
pub mod release;
#[cfg(feature = "torch")]
pub mod study;
pub mod train;
