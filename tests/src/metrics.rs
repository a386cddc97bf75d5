//! A scrape of the gateway's metrics.

use std::collections::BTreeSet;

/// Samples of one scrape, each with the text of its series.
#[derive(Clone, Debug)]
pub struct Metrics(Vec<(String, f64)>);

impl Metrics {
    /// Reads the Prometheus text format, without its comments.
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(samples.map(parse_sample).collect())
    }

    /// Returns the sum of a metric's samples that have all these labels; panics when there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let matches = |series: &str| match series.split_once('{') {
            Some((metric, rest)) => metric == name && wanted.iter().all(|label| rest.contains(label)),
            None => series == name && wanted.is_empty(),
        };
        let found: Vec<f64> =
            self.0.iter().filter(|(series, _)| matches(series)).map(|(_, value)| *value).collect();
        assert!(!found.is_empty(), "no sample of {name} {labels:?}");
        found.iter().sum()
    }

    /// Returns the sum of all of a metric's samples; nothing when there is none.
    pub fn sum(&self, name: &str) -> Option<f64> {
        let of = |series: &str| series.split_once('{').map_or(series, |(metric, _)| metric) == name;
        let found: Vec<f64> =
            self.0.iter().filter(|(series, _)| of(series)).map(|(_, value)| *value).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// Returns every series, so that a test can see that none is added.
    pub fn series(&self) -> BTreeSet<&str> {
        self.0.iter().map(|(series, _)| series.as_str()).collect()
    }
}

fn parse_sample(line: &str) -> (String, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a series and a value");
    (series.to_owned(), value.parse().expect("a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_summed_over_the_labels_that_are_not_asked_for() {
        let metrics = Metrics::parse("# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4\nb 5\n");
        assert_eq!(metrics.value("a", &[("x", "1")]), 7.0);
        assert_eq!(metrics.value("a", &[("y", "3")]), 4.0);
        assert_eq!(metrics.value("b", &[]), 5.0);
        assert_eq!((metrics.sum("a"), metrics.sum("c")), (Some(7.0), None));
        assert_eq!(metrics.series().len(), 3);
    }
}
