//! Columns for people.

/// Rows under a heading, as wide as their widest cell. Columns of numbers stand on the right.
#[derive(Debug)]
pub(crate) struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self {
            heading: heading.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, the heading first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let columns: Vec<(usize, bool)> =
            (0..self.heading.len()).map(|at| self.column(at)).collect();
        let all = std::iter::once(&self.heading).chain(&self.rows);
        all.map(|cells| line(cells, &columns)).collect()
    }

    /// The width of a column, and whether it holds numbers.
    fn column(&self, at: usize) -> (usize, bool) {
        let cells = || self.rows.iter().filter_map(|row| row.get(at));
        let heading = self.heading.get(at).into_iter();
        let width = cells()
            .chain(heading)
            .map(|cell| cell.chars().count())
            .max();
        let numeric = cells().all(|cell| {
            cell.starts_with(|first: char| first.is_ascii_digit() || first == '-')
                && cell
                    .chars()
                    .all(|c| c.is_ascii_digit() || ",.- µms%".contains(c))
        });
        (width.unwrap_or(0), numeric && !self.rows.is_empty())
    }
}

fn line(cells: &[String], columns: &[(usize, bool)]) -> String {
    let mut text = String::new();
    for (cell, (width, numeric)) in cells.iter().zip(columns) {
        if !text.is_empty() {
            text.push_str("  ");
        }
        let room = " ".repeat(width.saturating_sub(cell.chars().count()));
        if *numeric {
            text.push_str(&room);
            text.push_str(cell);
        } else {
            text.push_str(cell);
            text.push_str(&room);
        }
    }
    text.trim_end().to_owned()
}

/// A number with a comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        let left = digits.len().saturating_sub(at);
        if at > 0 && left.is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_on_the_right_and_words_on_the_left() {
        let mut table = Table::new(&["node", "events"]);
        table.row(["a".to_owned(), grouped(1_234_567)]);
        table.row(["bcdef".to_owned(), grouped(12)]);
        assert_eq!(
            table.lines(),
            ["node      events", "a      1,234,567", "bcdef         12"]
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
