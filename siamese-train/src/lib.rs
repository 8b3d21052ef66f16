//! From images to a model that a microcontroller runs.
//!
//! Data flows one way:
//!
//! 1. [`dataset`] reads labelled images from IDX files, and fetches the two
//!    public sets that are known by name.
//! 2. [`pairs`] says which images a step sees, [`augment`] distorts them, and
//!    [`loader`] prepares the batches ahead. `network`, `loss`, `optimiser` and
//!    `fit` train by a [`recipe`], so that the same come close and the different
//!    go apart, and leave a [`history`]; they are built on libtorch, and come
//!    with the feature `torch`. `study` compares ways to train.
//!    [`mod@arrange`] orders the hidden units of the [`float_network`] so that
//!    devices skip more of them, [`quantise`] turns it into integers, [`export`]
//!    writes them as the `.siam` file that [`siamese_core::Model`] reads, and `golden`
//!    computes by libtorch what the core must give. `finish` does it in order.
//! 3. [`embed`] maps images to points, through the integer path of the core and
//!    nothing else: [`points`] holds them and is the text form of them.
//! 4. [`evaluate`] says how good the points are, and [`plot`] draws them.
//!
//! [`files`] and [`progress`] serve all of them. The command line around it
//! lives in the program, not here.

#![deny(missing_docs)]

pub mod arrange;
pub mod augment;
pub mod calibrate;
pub mod checkpoint;
pub mod dataset;
pub mod embed;
pub mod evaluate;
pub mod export;
pub mod few_shot;
pub mod files;
#[cfg(feature = "torch")]
pub mod finish;
#[cfg(feature = "torch")]
pub mod fit;
pub mod float_network;
pub mod gallery_file;
#[cfg(feature = "torch")]
pub mod golden;
pub mod history;
pub mod loader;
#[cfg(feature = "torch")]
pub mod loss;
#[cfg(feature = "torch")]
pub mod network;
#[cfg(feature = "torch")]
pub mod optimiser;
pub mod pairs;
pub mod plot;
pub mod points;
pub mod preset;
pub mod progress;
pub mod prototypes;
pub mod quantise;
pub mod recipe;
#[cfg(feature = "torch")]
pub mod study;
