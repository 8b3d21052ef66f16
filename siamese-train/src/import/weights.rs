//! The tensors of a `safetensors` file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::limit;

/// A tensor of the file in 32-bit floats.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Array {
    /// The length of each axis.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

/// The float tensors of a file, by name. Counters and other tensors of integers
/// are passed over.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    pub(super) arrays: BTreeMap<String, Array>,
    digest: [u8; 32],
}

impl Weights {
    /// Reads a `safetensors` file with tensors of 16-, 32- or 64-bit floats.
    ///
    /// # Errors
    /// One sentence that names the file: it can't be read, is no `safetensors`
    /// file, or a tensor holds something that is not finite.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = limit::read(path)
            .with_context(|| format!("cannot open {}; check the path", path.display()))?;
        Self::parse(&bytes).with_context(|| format!("cannot use {}", path.display()))
    }

    /// The same for a file's bytes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        limit::check_safetensors(bytes)?;
        let file = SafeTensors::deserialize(bytes).context(
            "it is no safetensors file; write one in Python with \
             safetensors.torch.save_file(net.state_dict(), \"net.safetensors\")",
        )?;
        let mut arrays = BTreeMap::new();
        for (name, view) in file.tensors() {
            let Some(values) = floats(view.dtype(), view.data()) else {
                continue;
            };
            ensure!(
                values.iter().all(|value| value.is_finite()),
                "tensor {name} holds numbers that are not finite; the training went astray"
            );
            let shape = view.shape().to_vec();
            arrays.insert(name, Array { shape, values });
        }
        Ok(Self {
            arrays,
            digest: Sha256::digest(bytes).into(),
        })
    }

    /// SHA-256 of the file.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// What the file holds, for messages: `fc1.weight [128, 784], …`.
    pub(super) fn list(&self) -> String {
        const SHOWN: usize = 24;
        if self.arrays.is_empty() {
            return "the file holds no tensor of floats".into();
        }
        let one = |(name, array): (&String, &Array)| format!("{name} {:?}", array.shape);
        let shown: Vec<String> = self.arrays.iter().take(SHOWN).map(one).collect();
        let more = match self.arrays.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("the file holds {}{more}", shown.join(", "))
    }

    /// The tensor `group.part` as a list of `length` numbers, if it is there.
    pub(super) fn vector(&self, group: &str, part: &str, length: usize) -> Result<Option<&[f32]>> {
        let Some(array) = self.arrays.get(&format!("{group}.{part}")) else {
            return Ok(None);
        };
        ensure!(
            array.shape == [length],
            "{group}.{part} has the shape {:?} where {length} numbers are expected",
            array.shape
        );
        Ok(Some(&array.values))
    }

    /// The weight matrix of `group`: outputs, inputs, and `[outputs][inputs]`.
    pub(super) fn matrix(&self, group: &str) -> Result<(usize, usize, &[f32])> {
        let Some(array) = self.arrays.get(&format!("{group}.weight")) else {
            bail!("there is no tensor {group}.weight; {}", self.list());
        };
        let &[outputs, inputs] = array.shape.as_slice() else {
            bail!(
                "{group}.weight has the shape {:?} and a fully connected layer has two axes, \
                 [outputs, inputs]",
                array.shape
            );
        };
        ensure!(
            outputs > 0 && inputs > 0,
            "{group}.weight is empty ({outputs}x{inputs})"
        );
        Ok((outputs, inputs, &array.values))
    }
}

/// The numbers of a float tensor; `None` for tensors of something else.
fn floats(kind: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    Some(match kind {
        Dtype::F32 => numbers(data, f32::from_le_bytes),
        Dtype::F16 => numbers(data, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::BF16 => numbers(data, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        Dtype::F64 => numbers(data, |bytes| f64::from_le_bytes(bytes) as f32),
        _ => return None,
    })
}

fn numbers<const SIZE: usize>(data: &[u8], number: impl Fn([u8; SIZE]) -> f32) -> Vec<f32> {
    let (items, _) = data.as_chunks::<SIZE>();
    items.iter().map(|&bytes| number(bytes)).collect()
}
