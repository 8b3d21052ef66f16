//! `study`: what optimiser and pair sampling do to the original's map.

use siamese_train::dataset::Class;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::exit;
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde::Serialize;
use siamese_train::dataset::ClassNames;
use siamese_train::dataset::{Dataset, Source, Split};
use siamese_train::embed::points::Points;
use siamese_train::evaluate::Labelled;
use siamese_train::files::write_atomic;
use siamese_train::plot::{Panel, panels};
use siamese_train::recipe::{RecipeName, Sampling};
use siamese_train::study::{Arm, Run, Study, Unevenness, unevenness};
use siamese_train::train::Event;

use super::interrupt::{INTERRUPTED, stop_at_ctrl_c};
use super::{Output, SourceArg};

/// Batches that the samplings are judged by.
const BATCHES: u64 = 1000;

/// Ask what optimiser and pair sampling do to the original's map
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Trains the original network (784-1024-1024-2, contrastive loss) with three optimisers and two ways
to draw pairs, each with several seeds and on as many images, and then, to take the causes apart,
with even classes alone, with even weights alone, and with longer steps. Prints a table in Markdown
and writes into the folder OUT:
  study.json            every run's figures
  maps.svg, maps.png    the six maps side by side, of the first seed
  runs/                 what each run left

36 runs of 4,000 steps take about an hour on 2 cores. Ctrl-C loses nothing: the same command goes
on from there, and finished runs are not repeated.

Example:
  siamese-train study --out docs/study")]
pub struct Args {
    /// The folder to write to
    #[arg(long, value_name = "DIR", default_value = "study")]
    out: PathBuf,
    /// Steps of each run, of 256 images
    #[arg(long, value_name = "N", default_value_t = 4000)]
    steps: usize,
    /// Seeds of each arm: 1 to N
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// The folder of all data sets, or one with the files of this set
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// The set
    #[arg(long, value_enum, default_value_t = SourceArg(Source::Mnist))]
    dataset: SourceArg,
}

/// What an arm's runs gave.
struct Row {
    arm: Arm,
    runs: Vec<Run>,
    /// Of the first seed.
    points: Points,
}

/// The report.
#[derive(Serialize)]
struct Report<'a> {
    runs: Vec<&'a Run>,
    batches: Vec<(String, Unevenness)>,
}

pub fn run(args: &Args, output: Output) -> Result<()> {
    ensure!(args.steps > 0, "--steps must be at least 1");
    ensure!(args.seeds > 0, "--seeds must be at least 1");
    let source = args.dataset.0;
    let study = Study {
        steps: args.steps,
        train: Arc::new(Dataset::load(&args.data, source, Split::Train)?),
        test: Dataset::load(&args.data, source, Split::Test)?,
        folder: args.out.join("runs"),
    };
    let stop = stop_at_ctrl_c()?;
    let questions = Arm::question();
    let arms: Vec<Arm> = questions.iter().copied().chain(Arm::causes()).collect();
    let total = (arms.len() as u64 * args.seeds * args.steps as u64).max(1);
    let bar = output.progress().count("studying", "steps", total);
    let mut rows = Vec::new();
    for arm in arms {
        let mut runs = Vec::new();
        let mut first = None;
        for seed in 1..=args.seeds {
            bar.set_message(format!("{} seed {seed}", arm.name()));
            let before = bar.position();
            let found = study.run(&arm, seed, &stop, |event| {
                if let Event::Steps { done, .. } = event {
                    bar.set_position(before + done as u64);
                }
            })?;
            bar.set_position(before + args.steps as u64);
            let Some((run, points)) = found else {
                bar.finish_and_clear();
                output.note("stopped; the same command goes on from here");
                exit(INTERRUPTED);
            };
            first.get_or_insert(points);
            runs.push(run);
        }
        let Some(points) = first else { continue };
        rows.push(Row { arm, runs, points });
    }
    bar.finish_and_clear();

    let images = RecipeName::Original.recipe().batch;
    let batches = [
        ("random", Sampling::Random),
        ("stratified", Sampling::Stratified),
        ("balanced", Sampling::Balanced),
    ]
    .into_iter()
    .map(|(name, sampling)| {
        let uneven = unevenness(&study.train.labels, sampling, images, BATCHES)?;
        Ok((name.to_owned(), uneven))
    })
    .collect::<Result<Vec<_>>>()?;

    draw(
        args,
        &study.test.labels,
        &rows[..questions.len()],
        &source.into(),
    )?;
    let report = Report {
        runs: rows.iter().flat_map(|row| &row.runs).collect(),
        batches,
    };
    write_atomic(&args.out.join("study.json"), |out| {
        Ok(serde_json::to_writer_pretty(out, &report)?)
    })?;
    output.report(&tables(&rows, &report.batches)?, &report)
}

/// The maps of the first seed, three in a row.
fn draw(args: &Args, labels: &[Class], rows: &[Row], names: &ClassNames) -> Result<()> {
    let texts: Vec<(String, String)> = rows
        .iter()
        .map(|row| {
            let run = &row.runs[0];
            (
                row.arm.name().replace('-', ", "),
                format!("knn25 {:.3}, EER {:.3}", run.knn25, run.eer),
            )
        })
        .collect();
    let maps = rows
        .iter()
        .zip(&texts)
        .map(|(row, (title, remark))| {
            Ok(Panel {
                points: Labelled::new(&row.points, labels)?,
                title,
                remark,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let picture = panels(&maps, 3, names);
    picture.write_svg(&args.out.join("maps.svg"))?;
    picture.write_png(&args.out.join("maps.png"))
}

/// The figures in Markdown: means over the seeds, and half the range.
fn tables(rows: &[Row], batches: &[(String, Unevenness)]) -> Result<String> {
    let mut text = String::from(
        "| arm | learning rate | knn25 | EER | silhouette | within / between |\n\
         |---|---|---|---|---|---|\n",
    );
    for row in rows {
        let cell = |value: fn(&Run) -> f64| {
            let values = || row.runs.iter().map(value);
            let mean = values().sum::<f64>() / row.runs.len() as f64;
            let (low, high) = (
                values().fold(f64::INFINITY, f64::min),
                values().fold(f64::NEG_INFINITY, f64::max),
            );
            format!("{mean:.4} ± {:.4}", (high - low) / 2.0)
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            row.arm.name(),
            row.arm.learning_rate,
            cell(|run| run.knn25),
            cell(|run| run.eer),
            cell(|run| run.silhouette),
            cell(|run| run.distance_ratio),
        )?;
    }
    text += "\n| sampling | same-class pairs | range over batches | most over least frequent class |\n\
             |---|---|---|---|\n";
    for (name, uneven) in batches {
        let (low, high) = uneven.same_share_range;
        writeln!(
            text,
            "| {name} | {:.1} % | {:.1} % to {:.1} % | {:.2} |",
            100.0 * uneven.same_share,
            100.0 * low,
            100.0 * high,
            uneven.most_to_least
        )?;
    }
    Ok(text)
}
