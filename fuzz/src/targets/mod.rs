//! What is run, and what must hold of it.

mod files;
mod flash;
mod galleries;
mod host;
mod line;
mod link;
mod mapped;
mod models;
mod update;

use crate::Target;

/// All of them.
pub const ALL: &[Target] = &[
    Target {
        name: "model",
        what: "model files, mended or made, against a naive reader of FORMAT.md, by every kernel",
        run: models::model,
        longest: 8192,
    },
    Target {
        name: "orders",
        what: "made models in every order of weights, by every kernel, alone and in batches",
        run: models::orders,
        longest: 512,
    },
    Target {
        name: "gallery",
        what: "stored galleries, records and names, against a naive reader",
        run: galleries::stored,
        longest: 1024,
    },
    Target {
        name: "operations",
        what: "any operations on a gallery, against a naive one that keeps sums and sorts",
        run: galleries::operations,
        longest: 512,
    },
    Target {
        name: "store",
        what: "galleries and names in flash: power cuts, torn words, failing reads, ECC, rot",
        run: flash::store,
        longest: 256,
    },
    Target {
        name: "server",
        what: "a device that hears anything, and then a good request",
        run: link::server,
        longest: 1024,
    },
    Target {
        name: "line",
        what: "a server over a line that errs, falls silent and closes, and then a good request",
        run: line::line,
        longest: 1024,
    },
    Target {
        name: "update",
        what: "the steps of signed updates in any order, with power cuts and failing reads",
        run: update::update,
        longest: 256,
    },
    Target {
        name: "frames",
        what: "frames and messages, against a naive writer",
        run: link::frames,
        longest: 512,
    },
    Target {
        name: "host",
        what: "a host that is answered anything",
        run: host::host,
        longest: 2048,
    },
    Target {
        name: "idx",
        what: "IDX files, raw and packed by gzip",
        run: files::idx,
        longest: 2048,
    },
    Target {
        name: "picture",
        what: "pictures: PNG, JPEG, WebP, TIFF, BMP, PNM and GIF",
        run: files::picture,
        longest: 4096,
    },
    Target {
        name: "gallery-file",
        what: "files of galleries with names, as `identify` reads them",
        run: files::gallery,
        longest: 1024,
    },
    Target {
        name: "tensors",
        what: "checkpoints, weights of other trainers and golden vectors, in safetensors",
        run: files::tensors,
        longest: 4096,
    },
];

/// The target of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}
