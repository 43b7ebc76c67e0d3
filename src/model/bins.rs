//! Columns of numbers cut into few bins, so that a tree finds its splits by counting instead of sorting (Ke et al., LightGBM, NeurIPS 2017).

/// Bins of one column at most: as many as one byte tells apart.
pub(super) const MAX_BINS: usize = 256;

/// One column: the bin of each row, and between which numbers bins meet.
pub(super) struct Column {
    pub(super) bins: Vec<u8>,
    /// The greatest number of a bin is at most this, the least of the next is above it; one fewer than there are bins.
    pub(super) cuts: Vec<f32>,
}

impl Column {
    /// Cuts a column. Numbers that are few have a bin each; of more, each bin has about the same weight. What is no number counts as 0.
    pub(super) fn new(values: impl Iterator<Item = f32>, weights: &[f64]) -> Self {
        let values: Vec<f32> = values.map(|value| if value.is_finite() { value } else { 0.0 }).collect();
        let mut order: Vec<u32> = (0..values.len() as u32).collect();
        let value = |row: &u32| values[*row as usize];
        order.sort_unstable_by(|a, b| value(a).total_cmp(&value(b)).then(a.cmp(b)));
        // -0 and 0 are one number.
        let distinct = 1 + order.windows(2).filter(|pair| value(&pair[0]) < value(&pair[1])).count();
        let whole: f64 = weights.iter().sum();
        let most = if distinct <= MAX_BINS { 0.0 } else { whole / (MAX_BINS - 1) as f64 };
        let mut column = Self { bins: vec![0; values.len()], cuts: Vec::new() };
        let mut weight = 0.0;
        for (at, row) in order.iter().enumerate() {
            if let Some(before) = at.checked_sub(1).map(|before| value(&order[before]))
                && before < value(row)
                && weight >= most
                && column.cuts.len() + 1 < MAX_BINS
            {
                let middle = before + (value(row) - before) / 2.0;
                column.cuts.push(if middle < value(row) { middle } else { before });
                weight = 0.0;
            }
            weight += weights[*row as usize];
            column.bins[*row as usize] = column.cuts.len() as u8;
        }
        column
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_numbers_have_a_bin_each() {
        let column = Column::new([2.0, 0.5, f32::NAN, 0.5, -0.0, 7.0].into_iter(), &[1.0; 6]);
        assert_eq!((column.bins, column.cuts), (vec![2, 1, 0, 1, 0, 3], vec![0.25, 1.25, 4.5]));
        let constant = Column::new([3.0; 4].into_iter(), &[1.0; 4]);
        assert_eq!((constant.bins, constant.cuts), (vec![0; 4], vec![]));
        assert!(Column::new(std::iter::empty(), &[]).bins.is_empty());
    }

    #[test]
    fn of_many_numbers_each_bin_has_its_share_of_the_weight() {
        let n = 10_000;
        // The last tenth weighs as much as all others.
        let weights: Vec<f64> = (0..n).map(|row| if row < 9 * n / 10 { 1.0 } else { 9.0 }).collect();
        let column = Column::new((0..n).map(|row| row as f32), &weights);
        assert!((200..=MAX_BINS).contains(&(column.cuts.len() + 1)), "{} bins", column.cuts.len() + 1);
        assert!((0..n).all(|row| {
            let bin = usize::from(column.bins[row]);
            let (below, above) = (bin.checked_sub(1).map(|cut| column.cuts[cut]), column.cuts.get(bin));
            below.is_none_or(|below| below < row as f32) && above.is_none_or(|above| row as f32 <= *above)
        }));
        let last = column.bins[9 * n / 10];
        assert!((110..=146).contains(&last), "{last}");
        // Neighbours among floats have nothing between them.
        let close = Column::new([1.0, f32::from_bits(1.0_f32.to_bits() + 1)].into_iter(), &[1.0; 2]);
        assert_eq!((close.bins, close.cuts), (vec![0, 1], vec![1.0]));
    }
}
