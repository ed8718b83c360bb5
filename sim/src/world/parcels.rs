//! Things under way: put here until the event that names their place happens.

/// Things under way, by place.
#[derive(Debug)]
pub(super) struct Parcels<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Parcels<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Parcels<T> {
    /// Its place.
    pub(super) fn put(&mut self, parcel: T) -> u32 {
        match self.free.pop() {
            Some(at) => {
                self.places[at as usize] = Some(parcel);
                at
            }
            None => {
                self.places.push(Some(parcel));
                (self.places.len() - 1) as u32
            }
        }
    }

    /// What is at that place, once.
    pub(super) fn take(&mut self, at: u32) -> Option<T> {
        let parcel = self.places.get_mut(at as usize)?.take();
        self.free.extend(parcel.is_some().then_some(at));
        parcel
    }

    /// What is under way.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().flatten()
    }
}
