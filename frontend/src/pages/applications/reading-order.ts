// The list that an application was opened from. It determines the previous and the next application, and the link back
// to the list. It is stored for the tab of the browser, so it is still available after a reload. It contains
// identifiers and filters, never a document.

export interface ReadingOrder {
    ids: string[];
    list: 'applications' | 'reviews';
    /** The filters and the page of the list, as in its address. */
    search: Record<string, unknown>;
}

const STORED = 'aval.reading-order';

export function keepReadingOrder(order: ReadingOrder): void {
    sessionStorage.setItem(STORED, JSON.stringify(order));
}

export interface Place extends Pick<ReadingOrder, 'list' | 'search'> {
    previous: string | undefined;
    next: string | undefined;
}

/** The position of an application in the list; undefined if it was not opened from a list. */
export function placeOf(id: string): Place | undefined {
    const stored = sessionStorage.getItem(STORED);
    if (stored === null) return undefined;
    const { ids, list, search } = JSON.parse(stored) as ReadingOrder;
    const index = ids.indexOf(id);
    return index < 0 ? undefined : { list, search, previous: ids[index - 1], next: ids[index + 1] };
}
