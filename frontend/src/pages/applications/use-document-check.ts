import { useDebouncedValue } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { api, unwrap } from '../../api/client';
import type { CountryCode } from '../../api/types';

/** Waits this long after the last keystroke, in milliseconds. */
const PAUSE_MS = 400;

/** The server's verdict on an identity document, while it is being typed. */
export function useDocumentCheck(code: CountryCode, text: string) {
    const [entered] = useDebouncedValue(text.trim(), PAUSE_MS);
    return useQuery({
        queryKey: ['document-check', code, entered],
        queryFn: () =>
            unwrap(
                api.POST('/api/v1/countries/{code}/document-checks', {
                    params: { path: { code } },
                    body: { identity_document: entered },
                }),
            ),
        enabled: entered !== '' && entered === text.trim(),
        // A document is personal data, so it is not cached.
        gcTime: 0,
    });
}
