//! Float checkpoints: `safetensors` files with the training plan in their
//! metadata.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use siamese_core::model::LAYERS;

use crate::files::write_atomic;
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
    /// Sum of the losses since the last epoch ended, and their number.
    pub epoch_loss: (f32, usize),
    /// The best epoch's share of right validation images, if it is kept.
    pub best: Option<f64>,
    /// The epochs so far.
    pub history: Vec<Epoch>,
}

/// A named float tensor: its name, shape and values in row-major order.
pub type NamedTensor = (String, Vec<usize>, Vec<f32>);

/// The metadata keys of our checkpoints.
const PLAN_KEY: &str = "siamese.plan";
const PROGRESS_KEY: &str = "siamese.progress";

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
    let file = safetensors::serialize(views, Some(metadata))?;
    write_atomic(path, |out| Ok(out.write_all(&file)?))
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
        let bytes =
            std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
        Self::parse(&bytes).with_context(|| {
            format!(
                "{} is no usable checkpoint; delete it to train afresh",
                path.display()
            )
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
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
        Ok(FloatNetwork {
            input: self.plan.input,
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
    tensors
}
