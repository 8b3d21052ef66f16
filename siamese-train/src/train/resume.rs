//! How a run is saved, and goes on from what was saved.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use siamese_core::model::LAYERS;
use tch::{Kind, Tensor, no_grad};

use super::checkpoint::{self, Checkpoint, NamedTensor, Progress};
use super::network::{Units, to_vec};
use super::rivals::Rivals;
use super::run::{Run, copies, numbered, shape};
use super::watch::Watch;
use crate::recipe::Plan;

/// Writes everything that the next step, and what has been seen, depend on.
/// `trained` says that no step follows.
pub(super) fn save(
    run: &Run,
    watch: &Watch,
    plan: &Plan,
    path: &Path,
    trained: bool,
) -> Result<()> {
    let mut state = run.state();
    state.extend(numbered(
        "best",
        watch.best().iter().flat_map(|(_, kept)| kept),
    ));
    let named = |(name, tensor): (String, &Tensor)| -> NamedTensor {
        (name, shape(tensor), to_vec(tensor))
    };
    let mut tensors: Vec<NamedTensor> = state.into_iter().map(named).collect();
    tensors.extend(watch.film.tensors());
    let progress = Progress {
        step: run.step,
        tuning_from: run.tuning_from,
        hidden_scales: run.network.units().map(|units| units.hidden),
        shifts: run
            .network
            .units()
            .map_or([0; LAYERS], |units| units.shifts),
        epoch_loss: watch.epoch_loss(),
        best: watch.best().as_ref().map(|(knn25, _)| *knn25),
        history: watch.history.clone(),
        trained,
    };
    checkpoint::write(path, plan, Some(&progress), &tensors)
}

/// Puts a run and its watcher where `checkpoint` stands.
pub(super) fn restore(
    run: &mut Run,
    watch: &mut Watch,
    plan: &Plan,
    checkpoint: &Checkpoint,
) -> Result<()> {
    let there = &checkpoint.plan;
    ensure!(
        there.preset == plan.preset && there.dim == plan.dim,
        "it is of the preset {} with {} coordinates, not of {} with {}; \
             use another --out, or --fresh to train from the start",
        there.preset.name(),
        there.dim,
        plan.preset.name(),
        plan.dim
    );
    ensure!(
        there == plan,
        "it was made with other options, another seed or other data; \
             repeat those of that run, or use --fresh to train from the start"
    );
    let progress = checkpoint
        .progress
        .as_ref()
        .context("it is of a run that has ended")?;
    if let Some(hidden) = progress.hidden_scales {
        let shifts = progress.shifts;
        run.begin_tuning(Units { hidden, shifts });
    }
    run.step = progress.step;
    run.tuning_from = progress.tuning_from;
    let alike = || -> Vec<Tensor> { copies(&run.network.state()) };
    let mut best = progress.best.map(|knn25| (knn25, alike()));
    if checkpoint.tensors.contains_key("average.0") {
        run.average = Some(alike());
    }
    if !checkpoint.tensors.contains_key(Rivals::LOSSES) {
        run.rivals = None;
    }
    let mut state = run.state();
    state.extend(numbered("best", best.iter().flat_map(|(_, kept)| kept)));
    no_grad(|| {
        for (name, tensor) in state {
            let values = checkpoint.tensor(&name, &shape(tensor))?;
            let values = Tensor::from_slice(values)
                .reshape(tensor.size())
                .to_device(tensor.device());
            tensor.detach().copy_(&values.to_kind(Kind::Float));
        }
        anyhow::Ok(())
    })?;
    watch.restore(progress, best.take(), checkpoint)
}
