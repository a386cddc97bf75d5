//! A line over a logarithmic axis, as SVG that any browser and any code host draws.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// Lines across, from zero to the top.
const STEPS: u32 = 4;

/// A figure that depends on a size.
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) across: &'static str,
    pub(super) points: Vec<(usize, f64)>,
}

impl Chart {
    /// Draws it; the figure's axis begins at zero, so that what is flat looks flat.
    pub(super) fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}</text>\n",
            self.title
        );
        let top = self.top();
        // A string takes all text.
        for step in 0..=STEPS {
            let figure = top * f64::from(step) / f64::from(STEPS);
            let (y, right) = (self.down(figure), WIDTH - RIGHT);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#ccc\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{figure:.0}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        let places: Vec<(f64, f64)> =
            self.points.iter().map(|(at, figure)| (self.over(*at), self.down(*figure))).collect();
        let line: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"#0063b1\" stroke-width=\"2\" points=\"{}\"/>",
            line.join(" ")
        );
        for ((at, _), (x, y)) in self.points.iter().zip(places) {
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#0063b1\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"10\">{at}</text>",
                HEIGHT - BOTTOM + 16.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} (logarithmic)</text>\n</svg>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 12.0,
            self.across
        );
        svg
    }

    /// Returns a round number above all figures.
    fn top(&self) -> f64 {
        let most = self.points.iter().map(|(_, figure)| *figure).fold(1.0, f64::max);
        let step = 10_f64.powf(most.log10().floor()) / 2.0;
        ((most * 1.05 / step).ceil() * step).max(f64::from(STEPS))
    }

    fn over(&self, at: usize) -> f64 {
        let place = |at: usize| (at.max(1) as f64).ln();
        let (first, last) = self
            .points
            .iter()
            .fold((usize::MAX, 1), |(least, most), (at, _)| (least.min(*at), most.max(*at)));
        let width = (place(last) - place(first)).max(f64::EPSILON);
        LEFT + 20.0 + (place(at) - place(first)) / width * (WIDTH - LEFT - RIGHT - 40.0)
    }

    fn down(&self, figure: f64) -> f64 {
        HEIGHT - BOTTOM - figure / self.top() * (HEIGHT - TOP - BOTTOM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_flat_is_drawn_flat_above_zero_and_every_size_is_named() {
        let points = vec![(10, 100.0), (100, 100.0), (1000, 100.0)];
        let chart = Chart { title: "CPU".to_owned(), across: "users", points };
        let svg = chart.svg();
        let [low, high] = [10.0, 100.0].map(|figure| chart.down(figure));
        assert!(low > high && high > TOP && chart.down(0.0) == HEIGHT - BOTTOM);
        for named in [">10<", ">100<", ">1000<", "users (logarithmic)", "</svg>"] {
            assert!(svg.contains(named), "{named}: {svg}");
        }
        assert_eq!(svg.matches(&format!("cy=\"{:.1}\"", chart.down(100.0))).count(), 3, "{svg}");
    }
}
