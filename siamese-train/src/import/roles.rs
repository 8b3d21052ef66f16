//! Which tensors are which layer.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use siamese_core::model::LAYERS;

use super::Weights;

/// The names of the layers and of the batch normalisations in the file: a
/// tensor's name up to its last point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Roles {
    /// From the image to the embedding.
    pub layers: [String; LAYERS],
    /// The batch normalisation after each layer.
    pub norms: [Option<String>; LAYERS],
}

impl FromStr for Roles {
    type Err = anyhow::Error;

    /// Reads `layer1=fc1,layer2=fc2,layer3=fc3`, with `norm1=bn1` and so on
    /// where there is batch normalisation.
    fn from_str(text: &str) -> Result<Self> {
        const FORM: &str =
            "write layer1=fc1,layer2=fc2,layer3=fc3, and norm1=bn1 and so on for batch norms";
        let mut named = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (role, name) = part
                .split_once('=')
                .with_context(|| format!("'{part}' has no '='; {FORM}"))?;
            let (role, name) = (role.trim(), name.trim().trim_end_matches(".weight"));
            let known = (1..=LAYERS).any(|index| {
                [format!("layer{index}"), format!("norm{index}")].contains(&role.into())
            });
            ensure!(known && !name.is_empty(), "'{part}' names no layer; {FORM}");
            ensure!(
                named.insert(role, name.to_owned()).is_none(),
                "{role} is given twice; {FORM}"
            );
        }
        let mut layers = Vec::new();
        for index in 1..=LAYERS {
            let layer = named.remove(format!("layer{index}").as_str());
            layers.push(layer.with_context(|| format!("layer{index} is missing; {FORM}"))?);
        }
        Ok(Self {
            layers: layers.try_into().ok().context(FORM)?,
            norms: std::array::from_fn(|index| named.remove(format!("norm{}", index + 1).as_str())),
        })
    }
}

impl Weights {
    /// Finds the three layers by their shapes (each takes what the one before
    /// gives), and by the order of their names where shapes leave a choice;
    /// then the batch normalisations, in the same way.
    ///
    /// # Errors
    /// If there are not exactly three layers that follow each other, or the
    /// place of a batch normalisation is not clear. The message lists what the
    /// file holds.
    pub fn roles(&self) -> Result<Roles> {
        const HELP: &str = "say which are the layers with --map layer1=…,layer2=…,layer3=…";
        let mut linear = Vec::new();
        let mut norms = Vec::new();
        for (name, array) in &self.arrays {
            if let Some(group) = name.strip_suffix(".weight")
                && let &[outputs, inputs] = array.shape.as_slice()
            {
                linear.push((group, outputs, inputs));
            } else if let Some(group) = name.strip_suffix(".running_mean") {
                norms.push((group, array.values.len()));
            }
        }
        ensure!(
            linear.len() == LAYERS,
            "{} weight matrices are not the three layers of a network; {HELP}; {}",
            linear.len(),
            self.list()
        );
        linear.sort_by(|a, b| as_people_sort(a.0, b.0));
        let chain = orders()
            .into_iter()
            .map(|order| order.map(|index| linear[index]))
            .find(|[first, second, third]| first.1 == second.2 && second.1 == third.2);
        let Some(chain) = chain else {
            bail!(
                "no order of the three layers has each take what the one before gives; {}",
                self.list()
            );
        };
        norms.sort_by(|a, b| as_people_sort(a.0, b.0));
        let norms = place_norms(&chain, &norms).with_context(|| {
            format!(
                "the place of the batch normalisations is not clear; add norm1=… and so on to \
                 --map; {}",
                self.list()
            )
        })?;
        Ok(Roles {
            layers: chain.map(|(name, _, _)| name.to_owned()),
            norms,
        })
    }
}

/// All orders of three, that of the names first.
fn orders() -> [[usize; LAYERS]; 6] {
    [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ]
}

/// The layers that the batch normalisations, in the order of their names,
/// follow. Where sizes leave a choice: one for each hidden layer in this order,
/// or those directly after a layer in the order of all names, as the numbers of
/// a `Sequential` have it.
fn place_norms(
    layers: &[(&str, usize, usize); LAYERS],
    norms: &[(&str, usize)],
) -> Option<[Option<String>; LAYERS]> {
    let mut fitting: Vec<[Option<String>; LAYERS]> = Vec::new();
    for choice in 0..1usize << LAYERS {
        let chosen: Vec<usize> = (0..LAYERS)
            .filter(|layer| choice >> layer & 1 == 1)
            .collect();
        let fits = chosen.len() == norms.len()
            && chosen
                .iter()
                .zip(norms)
                .all(|(&layer, norm)| layers[layer].1 == norm.1);
        if fits {
            let mut places = [const { None }; LAYERS];
            for (layer, norm) in chosen.into_iter().zip(norms) {
                places[layer] = Some(norm.0.to_owned());
            }
            fitting.push(places);
        }
    }
    let hidden_only = |places: &&[Option<String>; LAYERS]| places[LAYERS - 1].is_none();
    match fitting.len() {
        0 => return None,
        1 => return fitting.pop(),
        _ => {}
    }
    if let [one] = fitting.iter().filter(hidden_only).collect::<Vec<_>>()[..] {
        return Some(one.clone());
    }
    // Every one stands after the layer that its name follows.
    let follows = |places: &[Option<String>; LAYERS]| {
        places.iter().enumerate().all(|(index, norm)| {
            norm.as_deref().is_none_or(|norm| {
                let before = as_people_sort(layers[index].0, norm).is_lt();
                let next = layers.get(index + 1);
                before && next.is_none_or(|next| as_people_sort(norm, next.0).is_lt())
            })
        })
    };
    fitting.into_iter().find(follows)
}

/// Compares names with numbers in them by the numbers' values: `fc10` is after
/// `fc9`.
fn as_people_sort(a: &str, b: &str) -> Ordering {
    pieces(a).cmp(&pieces(b)).then_with(|| a.cmp(b))
}

/// A name as runs of digits, by value, and of other characters.
fn pieces(name: &str) -> Vec<(Option<u64>, &str)> {
    let mut pieces = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest
            .find(|c: char| c.is_ascii_digit() != digits)
            .unwrap_or(rest.len());
        let (piece, later) = rest.split_at(end);
        match piece.parse().ok().filter(|_| digits) {
            Some(number) => pieces.push((Some(number), "")),
            None => pieces.push((None, piece)),
        }
        rest = later;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_names_everything_or_says_what_is_missing() {
        let roles: Roles = "layer2=b, layer1=a.weight,layer3=c,norm2=n"
            .parse()
            .unwrap();
        assert_eq!(roles.layers, ["a", "b", "c"]);
        assert_eq!(roles.norms, [None, Some("n".into()), None]);
        for (text, sentence) in [
            ("layer1=a,layer2=b", "layer3 is missing"),
            ("layer1=a,layer1=b", "layer1 is given twice"),
            ("layer4=a", "names no layer"),
            ("fc1", "has no '='"),
        ] {
            let error = text.parse::<Roles>().unwrap_err().to_string();
            assert!(error.contains(sentence), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_in_names_are_numbers() {
        let mut names = ["fc10", "fc9", "10", "9", "a.2.b", "a.10.b"];
        names.sort_by(|a, b| as_people_sort(a, b));
        let at = |name| names.iter().position(|&other| other == name).unwrap();
        assert!(at("fc9") < at("fc10") && at("9") < at("10") && at("a.2.b") < at("a.10.b"));
    }
}
