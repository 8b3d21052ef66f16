//! Float checkpoints: `safetensors` files with the training plan in their
//! metadata.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use siamese_core::model::{LAYERS, Precision};

use crate::files::{hex, write_atomic};
use crate::limit;
use crate::recipe::Plan;
use crate::train::float_network::{FloatNetwork, Linear};
use crate::train::history::Epoch;

/// Where a run stands that is not at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps taken.
    pub step: usize,
    /// The step at which the integer phase began.
    pub tuning_from: Option<usize>,
    /// The units of the hidden activations in that phase.
    pub hidden_scales: Option<[f32; LAYERS - 1]>,
    /// The bits that layers of few bits take off in that phase; 0 of the others.
    #[serde(default, skip_serializing_if = "are_none")]
    pub shifts: [u8; LAYERS],
    /// Sum of the losses since the last epoch ended, and their number.
    pub epoch_loss: (f32, usize),
    /// The best epoch's share of right validation images, if it is kept.
    pub best: Option<f64>,
    /// The epochs so far.
    pub history: Vec<Epoch>,
    /// Whether all steps are taken, and only what follows from the network is
    /// still to be made.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trained: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn are_none(shifts: &[u8; LAYERS]) -> bool {
    shifts.iter().all(|&shift| shift == 0)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(switch: &bool) -> bool {
    !switch
}

/// A named float tensor: its name, shape and values in row-major order.
pub type NamedTensor = (String, Vec<usize>, Vec<f32>);

/// The metadata keys of our checkpoints.
const PLAN_KEY: &str = "siamese.plan";
const PROGRESS_KEY: &str = "siamese.progress";
/// SHA-256 of all else, in hexadecimal; see [`checksum`].
const CHECKSUM_KEY: &str = "siamese.sha256";
/// The tensor of the bits that layers of few bits take off.
const SHIFTS: &str = "shifts";
/// The key of the metadata in the file's header.
const METADATA: &str = "__metadata__";

/// Writes tensors with the plan, and where a run stands if it is not at its
/// end. A file that is there is replaced only by a whole one.
///
/// # Errors
/// If the file can't be written.
pub fn write(
    path: &Path,
    plan: &Plan,
    progress: Option<&Progress>,
    tensors: &[NamedTensor],
) -> Result<()> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| {
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()
        })
        .collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| {
            Ok((
                name.as_str(),
                TensorView::new(Dtype::F32, shape.clone(), bytes)?,
            ))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut metadata = HashMap::from([(PLAN_KEY.to_owned(), serde_json::to_string(plan)?)]);
    if let Some(progress) = progress {
        metadata.insert(PROGRESS_KEY.to_owned(), serde_json::to_string(progress)?);
    }
    metadata.insert(CHECKSUM_KEY.to_owned(), checksum(&metadata, tensors));
    let file = in_order(safetensors::serialize(views, Some(metadata))?)?;
    write_atomic(path, |out| Ok(out.write_all(&file)?))
}

/// SHA-256 of the metadata but itself, and of the tensors, by name: everything that
/// a flipped bit could change.
fn checksum(metadata: &HashMap<String, String>, tensors: &[NamedTensor]) -> String {
    let mut digest = Sha256::new();
    let mut part = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    let metadata: BTreeMap<_, _> = metadata.iter().collect();
    for (key, value) in metadata.into_iter().filter(|(key, _)| *key != CHECKSUM_KEY) {
        part(key.as_bytes());
        part(value.as_bytes());
    }
    let mut tensors: Vec<&NamedTensor> = tensors.iter().collect();
    tensors.sort_by_key(|(name, ..)| name);
    for (name, shape, values) in tensors {
        part(name.as_bytes());
        let sides: Vec<u8> = shape
            .iter()
            .flat_map(|&side| (side as u64).to_le_bytes())
            .collect();
        part(&sides);
        let values: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        part(&values);
    }
    hex(&digest.finalize())
}

/// A `safetensors` file with its metadata in the order of the keys, so that the
/// same run writes the same bytes: the library keeps them in no order.
fn in_order(file: Vec<u8>) -> Result<Vec<u8>> {
    let (length, rest) = file
        .split_first_chunk()
        .context("a file without a header")?;
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: serde_json::Value = serde_json::from_slice(header)?;
    if let Some(metadata) = header.get_mut(METADATA) {
        metadata.sort_all_objects();
    }
    let mut header = serde_json::to_vec(&header)?;
    // The tensors begin at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), &*header, data].concat())
}

/// A checkpoint's content.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The plan of the run that wrote it.
    pub plan: Plan,
    /// Where the run stands; `None` at its end.
    pub progress: Option<Progress>,
    /// The tensors by name: shape and values.
    pub tensors: HashMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// If the file can't be read or is no checkpoint of ours.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = limit::read(path).with_context(|| format!("can't read {}", path.display()))?;
        Self::parse(&bytes).with_context(|| {
            format!(
                "{} is no usable checkpoint; delete it to train afresh",
                path.display()
            )
        })
    }

    /// The same for a file's bytes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        limit::check_safetensors(bytes)?;
        let (_, metadata) = SafeTensors::read_metadata(bytes)?;
        let metadata = metadata.metadata().clone().unwrap_or_default();
        let plan = metadata
            .get(PLAN_KEY)
            .context("it holds no training plan")?;
        let plan = serde_json::from_str(plan).context("its training plan is of another version")?;
        let progress = metadata
            .get(PROGRESS_KEY)
            .map(|progress| serde_json::from_str(progress))
            .transpose()?;
        let mut tensors = HashMap::new();
        for (name, view) in SafeTensors::deserialize(bytes)?.tensors() {
            ensure!(
                view.dtype() == Dtype::F32,
                "tensor {name} holds no 32-bit floats"
            );
            let (values, _) = view.data().as_chunks::<4>();
            let values = values
                .iter()
                .map(|&bytes| f32::from_le_bytes(bytes))
                .collect();
            tensors.insert(name, (view.shape().to_vec(), values));
        }
        // Versions before the checksum wrote none.
        if let Some(expected) = metadata.get(CHECKSUM_KEY) {
            let named = |(name, (shape, values)): (&String, &(Vec<usize>, Vec<f32>))| {
                (name.clone(), shape.clone(), values.clone())
            };
            let named: Vec<NamedTensor> = tensors.iter().map(named).collect();
            ensure!(
                *expected == checksum(&metadata, &named),
                "it is damaged: its checksum is that of another content"
            );
        }
        Ok(Self {
            plan,
            progress,
            tensors,
        })
    }

    /// The values of a tensor that must have `shape`.
    ///
    /// # Errors
    /// If there is no such tensor, or it has another shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        let Some((found, values)) = self.tensors.get(name) else {
            bail!("the checkpoint holds no tensor {name}");
        };
        ensure!(
            found == shape,
            "the checkpoint's {name} has the shape {found:?} instead of {shape:?}"
        );
        Ok(values)
    }

    /// The finished float network.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape than the plan says.
    pub fn network(&self) -> Result<FloatNetwork> {
        let mut layers = Vec::with_capacity(LAYERS);
        for ((inputs, outputs), index) in self.plan.shapes().into_iter().zip(1..) {
            let tensor = |name: &str, shape: &[usize]| {
                self.tensor(&format!("layer{index}.{name}"), shape)
                    .map(<[f32]>::to_vec)
            };
            layers.push(Linear {
                inputs,
                outputs,
                weight: tensor("weight", &[outputs, inputs])?,
                bias: tensor("bias", &[outputs])?,
            });
        }
        let layers = layers
            .try_into()
            .ok()
            .context("a network has three layers")?;
        let mut shifts = [0; LAYERS];
        if self.tensors.contains_key(SHIFTS) {
            for (shift, &number) in shifts.iter_mut().zip(self.tensor(SHIFTS, &[LAYERS])?) {
                ensure!(
                    (0.0..=f32::from(Precision::MAX_SHIFT)).contains(&number),
                    "the checkpoint holds an impossible shift: {number}"
                );
                *shift = number as u8;
            }
        }
        Ok(FloatNetwork {
            input: self.plan.input,
            precision: self.plan.recipe.bits.precision(shifts),
            layers,
        })
    }
}

/// The tensors of a finished network, as [`Checkpoint::network`] reads them.
#[must_use]
pub fn network_tensors(network: &FloatNetwork) -> Vec<NamedTensor> {
    let mut tensors = Vec::new();
    for (layer, index) in network.layers.iter().zip(1..) {
        let shape = vec![layer.outputs, layer.inputs];
        tensors.push((format!("layer{index}.weight"), shape, layer.weight.clone()));
        tensors.push((
            format!("layer{index}.bias"),
            vec![layer.outputs],
            layer.bias.clone(),
        ));
    }
    let shifts = network.precision.shifts;
    if !are_none(&shifts) {
        tensors.push((SHIFTS.into(), vec![LAYERS], shifts.map(f32::from).to_vec()));
    }
    tensors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Dataset, Images};
    use crate::recipe::{Preset, RecipeName};

    fn plan() -> Plan {
        let images = Images::new(2, 2, vec![0; 8]).unwrap();
        let data = Dataset::new(images, vec![0, 1]).unwrap();
        Plan::new(Preset::Tiny, 2, RecipeName::Default.recipe(), 1, &data).unwrap()
    }

    fn progress() -> Progress {
        Progress {
            step: 7,
            tuning_from: None,
            hidden_scales: None,
            shifts: [0; LAYERS],
            epoch_loss: (0.5, 3),
            best: None,
            history: Vec::new(),
            trained: false,
        }
    }

    fn written(folder: &Path) -> Vec<u8> {
        let path = folder.join("a.safetensors");
        let tensors = [
            ("b".to_owned(), vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]),
            ("a".to_owned(), vec![3], vec![5.0, 6.0, 7.0]),
        ];
        write(&path, &plan(), Some(&progress()), &tensors).unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn every_flipped_bit_is_noticed_and_the_same_run_writes_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let good = written(folder.path());
        assert!((0..20).all(|_| written(folder.path()) == good));
        let read = Checkpoint::parse(&good).unwrap();
        assert_eq!((&read.plan, read.progress), (&plan(), Some(progress())));
        assert_eq!(read.tensors["a"], (vec![3], vec![5.0, 6.0, 7.0]));
        for place in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[place] ^= 1 << bit;
                let Ok(read) = Checkpoint::parse(&bad) else {
                    continue;
                };
                // What is still accepted must say the same: a blank of the padding, or
                // the checksum's own key, without which nothing is checked.
                assert_eq!(read.plan, plan(), "bit {bit} of byte {place}");
                assert_eq!(read.progress, Some(progress()), "bit {bit} of byte {place}");
                assert_eq!(read.tensors["a"].1, [5.0, 6.0, 7.0]);
                assert_eq!(read.tensors["b"].1, [1.0, 2.0, 3.0, 4.0]);
            }
        }
    }

    #[test]
    fn checkpoints_without_a_checksum_are_read() {
        let metadata =
            HashMap::from([(PLAN_KEY.to_owned(), serde_json::to_string(&plan()).unwrap())]);
        let bytes = 2.5f32.to_le_bytes();
        let view = TensorView::new(Dtype::F32, vec![1], &bytes).unwrap();
        let file = safetensors::serialize([("a", view)], Some(metadata)).unwrap();
        let read = Checkpoint::parse(&file).unwrap();
        assert_eq!(read.tensors["a"], (vec![1], vec![2.5]));
    }
}
