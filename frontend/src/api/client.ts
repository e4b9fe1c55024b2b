// The typed client of the API. Requests carry the access token of the session; a request that is refused because the token
// has expired is sent once more with a new one.

import createClient from 'openapi-fetch';
import { accessToken, renewSession } from '../session/session';
import { ApiError, readProblem } from './problem';
import type { paths } from './schema';

async function send(request: Request): Promise<Response> {
    const again = request.clone();
    const token = await accessToken();
    const response = await fetch(authorized(request, token));
    if (response.status !== 401 || token === undefined) return response;
    const renewed = await renewSession(token);
    return renewed === undefined ? response : fetch(authorized(again, renewed));
}

function authorized(request: Request, token: string | undefined): Request {
    if (token !== undefined) request.headers.set('authorization', `Bearer ${token}`);
    return request;
}

export const api = createClient<paths>({ baseUrl: globalThis.location.origin, fetch: send });

interface Answer<Data> {
    data?: Data;
    error?: unknown;
    response: Response;
}

/** The data of a response. Throws {@link ApiError} for an error response, or if there is no response. */
export async function unwrap<Data>(answer: Promise<Answer<Data>>): Promise<Data> {
    let settled: Answer<Data>;
    try {
        settled = await answer;
    } catch (cause) {
        if (cause instanceof ApiError) throw cause;
        // `fetch` rejects only if the server cannot be reached.
        throw new ApiError(0);
    }
    const { data, error, response } = settled;
    if (!response.ok) throw new ApiError(response.status, readProblem(error));
    return data as Data;
}
