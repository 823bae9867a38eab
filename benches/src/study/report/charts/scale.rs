//! From values to places on an axis, and the values that are worth a line.

/// An axis from one value to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    is_logarithmic: bool,
    /// Where `low` and `high` are drawn.
    places: (i32, i32),
}

impl Scale {
    /// Equal steps are equally far apart.
    pub(super) fn linear(low: f64, high: f64, places: (i32, i32)) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Scale { low, high, is_logarithmic: false, places }
    }

    /// Equal factors are equally far apart. Both ends are above zero.
    pub(super) fn logarithmic(low: f64, high: f64, places: (i32, i32)) -> Self {
        let low = low.max(f64::MIN_POSITIVE);
        let high = if high > low { high } else { low * 2.0 };
        Scale { low, high, is_logarithmic: true, places }
    }

    /// Where `value` is drawn. What is beyond an end is drawn at that end.
    pub(super) fn place(&self, value: f64) -> i32 {
        let value = value.clamp(self.low, self.high);
        let share = if self.is_logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        let (first, last) = self.places;
        first + (share * f64::from(last - first)).round() as i32
    }

    /// Round values within the axis, from the lowest to the highest, at most about six.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.is_logarithmic && self.high / self.low > 4.0 {
            self.factors()
        } else {
            self.steps()
        }
    }

    fn steps(&self) -> Vec<f64> {
        let wanted = (self.high - self.low) / 4.0;
        let magnitude = 10f64.powf(wanted.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude);
        let step = step.into_iter().find(|step| *step >= wanted * 0.999).unwrap_or(wanted);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|index| index as f64 * step).collect()
    }

    fn factors(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let factors: &[f64] = if decades < 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let stride = (decades / 6.0).ceil().max(1.0) as usize;
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let powers = (first..=last).step_by(stride).map(|power| 10f64.powi(power));
        powers
            .flat_map(|power| factors.iter().map(move |factor| power * factor))
            .filter(|tick| *tick >= self.low * 0.999 && *tick <= self.high * 1.001)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn values_beyond_an_end_stay_on_the_axis() {
        let scale = Scale::linear(1.0, 2.0, (10, 110));
        assert_eq!(
            [0.0, 1.0, 1.5, 2.0, f64::INFINITY].map(|value| scale.place(value)),
            [10, 10, 60, 110, 110]
        );
    }

    #[test]
    fn equal_factors_are_equally_far_apart() {
        let scale = Scale::logarithmic(1.0, 100.0, (200, 0));
        assert_eq!([1.0, 10.0, 100.0].map(|value| scale.place(value)), [200, 100, 0]);
    }

    #[test]
    fn ticks_are_round_and_few() {
        let ticks = Scale::linear(1.0, 1.37, (0, 1)).ticks();
        let texts: Vec<String> = ticks.iter().map(|tick| format!("{tick:.3}")).collect();
        assert_eq!(texts, ["1.000", "1.100", "1.200", "1.300"]);
        assert_eq!(Scale::logarithmic(3.0, 70.0, (0, 1)).ticks(), [5.0, 10.0, 20.0, 50.0]);
        let ends = [(1.0, 1.02), (1.0, 1000.0), (2e3, 9e9), (1.0, 1.0), (5.0, 19.0)];
        for (low, high) in ends {
            for scale in [Scale::linear(low, high, (0, 1)), Scale::logarithmic(low, high, (0, 1))] {
                let ticks = scale.ticks();
                assert!((1..=8).contains(&ticks.len()), "{scale:?}: {ticks:?}");
            }
        }
    }
}
