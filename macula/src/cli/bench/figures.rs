//! What a measurement says.

use serde::Serialize;

use super::Workload;

/// One measurement, or the median of several.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Figures {
    /// Events delivered, or calls answered.
    pub(super) messages: u64,
    pub(super) seconds: f64,
    /// Messages a second; for calls with 64 in flight.
    pub(super) per_second: f64,
    /// Events published and not delivered.
    pub(super) lost: u64,
    pub(super) out_of_order: u64,
    /// Half were faster, in microseconds: round trips one after the other, or publish to delivery.
    pub(super) p50_us: Option<f64>,
    /// One in a hundred was slower.
    pub(super) p99_us: Option<f64>,
    /// CPU seconds of both processes for a million messages.
    pub(super) cpu_s_per_million: f64,
    /// Resident memory of the larger process.
    pub(super) rss_mib: f64,
    /// The UDP payload that path MTU discovery had reached, in bytes.
    pub(super) mtu: u16,
}

/// All that is reported.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) workload: Workload,
    pub(super) size: u32,
    pub(super) mtu_upper_bound: u16,
    #[serde(flatten)]
    pub(super) macula: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quinn: Option<Figures>,
    /// With less to do: one subscriber instead of several, or at most once instead of at least once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<Figures>,
    /// Deliveries a second by those of the reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p50_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_ratio: Option<f64>,
}

impl Figures {
    /// The median of each figure; sums where something is counted that must not happen.
    pub(super) fn median(all: &[Self]) -> Self {
        let of =
            |figure: &dyn Fn(&Self) -> f64| median(all.iter().map(figure).collect()).unwrap_or(0.0);
        let maybe =
            |figure: &dyn Fn(&Self) -> Option<f64>| median(all.iter().filter_map(figure).collect());
        Self {
            messages: all.iter().map(|figures| figures.messages).sum(),
            seconds: all.iter().map(|figures| figures.seconds).sum(),
            per_second: of(&|figures| figures.per_second),
            lost: all.iter().map(|figures| figures.lost).sum(),
            out_of_order: all.iter().map(|figures| figures.out_of_order).sum(),
            p50_us: maybe(&|figures| figures.p50_us),
            p99_us: maybe(&|figures| figures.p99_us),
            cpu_s_per_million: of(&|figures| figures.cpu_s_per_million),
            rss_mib: of(&|figures| figures.rss_mib),
            mtu: all.iter().map(|figures| figures.mtu).min().unwrap_or(0),
        }
    }

    /// One line for people.
    pub(super) fn line(&self, name: &str) -> String {
        let mut text = format!("{name:<7}{:>12.0}/s", self.per_second);
        if let (Some(p50), Some(p99)) = (self.p50_us, self.p99_us) {
            text.push_str(&format!("  p50 {p50:.0} us  p99 {p99:.0} us"));
        }
        text.push_str(&format!(
            "  {:.2} CPU s a million  {:.1} MiB  mtu {}  lost {}",
            self.cpu_s_per_million, self.rss_mib, self.mtu, self.lost
        ));
        text
    }
}

impl Report {
    /// The report for people.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![self.macula.line("macula")];
        if let Some(reference) = &self.reference {
            lines.push(reference.line("less"));
        }
        if let Some(quinn) = &self.quinn {
            lines.push(quinn.line("quinn"));
        }
        if let Some(ratio) = self.reference_ratio {
            let than = if self.workload == Workload::Fanout {
                "with one subscriber"
            } else {
                "at most once"
            };
            lines.push(format!("deliveries a second by those {than}: {ratio:.2}"));
        }
        let ratio =
            |name: &str, value: Option<f64>| value.map(|value| format!("{name} {value:.2}"));
        let ratios: Vec<String> = [
            ratio("messages a second", self.ratio),
            ratio("p50", self.p50_ratio),
            ratio("CPU", self.cpu_ratio),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !ratios.is_empty() {
            lines.push(format!(
                "macula / quinn, medians of the pairs: {}",
                ratios.join(", ")
            ));
        }
        lines.join("\n")
    }
}

/// The median of the ratios pair by pair; `None` where there is nothing to compare.
pub(super) fn median_ratio(
    ours: &[Figures],
    theirs: &[Figures],
    figure: impl Fn(&Figures) -> Option<f64>,
) -> Option<f64> {
    let pairs = ours.iter().zip(theirs);
    let ratio = |(ours, theirs): (&Figures, &Figures)| match (figure(ours), figure(theirs)) {
        (Some(ours), Some(theirs)) if theirs > 0.0 => Some(ours / theirs),
        _ => None,
    };
    median(pairs.filter_map(ratio).collect())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let (low, high) = (values.get(last / 2)?, values.get(last.div_ceil(2))?);
    Some(f64::midpoint(*low, *high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_the_pairs() {
        let figures = |per_second| Figures {
            per_second,
            ..Figures::default()
        };
        let ours = [figures(10.0), figures(50.0), figures(30.0)];
        let theirs = [figures(20.0), figures(50.0), figures(100.0)];
        assert_eq!(
            median_ratio(&ours, &theirs, |figures| Some(figures.per_second)),
            Some(0.5)
        );
        assert_eq!(
            median_ratio(&ours, &[], |figures| Some(figures.per_second)),
            None
        );
        assert_eq!(median(vec![1.0, 3.0]), Some(2.0));
    }
}
