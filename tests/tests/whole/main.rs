//! The whole, from pictures and models to devices: one program, whose tests fill all cores
//! while one of them waits for a slow board.

mod accuracy;
mod bad_input;
mod bit_exact;
mod classes;
mod device;
mod firmware;
mod pages;
mod picture_files;
mod pictures;
