//! The long quiet run: memory, descriptors and series of everybody are sampled, and must not grow.

use std::time::Duration;
use std::time::Instant;

use serde_json::json;
use tokio::time::sleep;

use crate::processes::Holding;
use crate::stage::Stage;

/// Samples of a run.
const SAMPLES: u32 = 60;
/// Part of the samples, in the beginning, in which everybody may still grow.
const WARM: usize = 4;
/// What may be gained an hour, by the fitted line: bytes of memory and descriptors. Over less than an hour a line through
/// steps of an allocator is steep, so what the run itself gained counts, too.
const MEMORY_AN_HOUR: f64 = 2.0 * 1024.0 * 1024.0;
const GAINED: f64 = 512.0 * 1024.0;
const DESCRIPTORS_GAINED: f64 = 2.0;

/// One process over time.
#[derive(Default)]
struct Track {
    name: String,
    memory: Vec<(f64, f64)>,
    descriptors: Vec<(f64, f64)>,
    series: Vec<(f64, f64)>,
}

/// Samples for so long, then says what grew.
pub(crate) async fn watch(stage: &Stage, lasts: Duration) {
    let begin = Instant::now();
    let mut tracks: Vec<Track> = Vec::new();
    for sample in 0..SAMPLES {
        sleep((lasts * (sample + 1) / SAMPLES).saturating_sub(begin.elapsed())).await;
        let at = begin.elapsed().as_secs_f64();
        let mut at_process = 0;
        for (number, gate) in stage.gates.iter().enumerate() {
            let gate = gate.lock().await;
            let series = gate.metrics().map(|metrics| metrics.series().len()).ok();
            take(&mut tracks, at_process, format!("gateway {number}"), at, Holding::of(gate.pid()), series);
            at_process += 1;
        }
        for (number, edge) in stage.edges.iter().enumerate() {
            let edge = edge.lock().await;
            let holding = edge.pid().and_then(Holding::of);
            take(&mut tracks, at_process, format!("agent {number}"), at, holding, None);
            at_process += 1;
        }
        stage.journal.say("sample", json!({ "sample": sample + 1, "of": SAMPLES }));
    }
    tracks.iter().for_each(|track| judge(stage, track));
}

fn take(
    tracks: &mut Vec<Track>,
    number: usize,
    name: String,
    at: f64,
    holding: Option<Holding>,
    series: Option<usize>,
) {
    if tracks.len() <= number {
        tracks.push(Track { name, ..Track::default() });
    }
    let (track, Some(holding)) = (&mut tracks[number], holding) else { return };
    track.memory.push((at, holding.memory as f64));
    // Pipes are of a pool that has a bound; at the end the gateway is asked how many these are.
    track.descriptors.push((at, holding.descriptors.saturating_sub(holding.pipes) as f64));
    track.series.extend(series.map(|series| (at, series as f64)));
}

fn judge(stage: &Stage, track: &Track) {
    let warm = |points: &[(f64, f64)]| points[points.len() / WARM..].to_vec();
    let (memory, descriptors, series) = (warm(&track.memory), warm(&track.descriptors), warm(&track.series));
    let span = memory.last().map_or(0.0, |last| last.0) - memory.first().map_or(0.0, |first| first.0);
    let (slope, files, more_series) = (slope(&memory), slope(&descriptors), slope(&series));
    stage.journal.say(
        "flat",
        json!({
            "who": track.name,
            "memory_first": memory.first().map(|point| point.1),
            "memory_last": memory.last().map(|point| point.1),
            "memory_bytes_an_hour": (slope * 3600.0).round(),
            "descriptors_an_hour": files * 3600.0,
            "series": series.last().map(|point| point.1),
            "series_an_hour": more_series * 3600.0,
        }),
    );
    if slope * 3600.0 > MEMORY_AN_HOUR && slope * span > GAINED {
        stage.journal.broken(format!("{} grows by {:.0} bytes an hour", track.name, slope * 3600.0));
    }
    if files * span > DESCRIPTORS_GAINED {
        stage.journal.broken(format!("{} gains {:.1} descriptors an hour", track.name, files * 3600.0));
    }
    if series.windows(2).any(|pair| pair[0].1 != pair[1].1) {
        stage.journal.broken(format!("{} gains series of metrics", track.name));
    }
}

/// Returns the slope of the line that fits best.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let over: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let under: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if under > 0.0 { over / under } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_a_line_is_its_own() {
        let line: Vec<(f64, f64)> = (0..10).map(|x| (f64::from(x), f64::from(x).mul_add(3.0, 5.0))).collect();
        assert!((slope(&line) - 3.0).abs() < 1e-9);
        assert_eq!(slope(&[]), 0.0);
    }
}
