import type { Problem } from './types';

/** An error response of the API, or the absence of any response (`status` 0). */
export class ApiError extends Error {
    readonly status: number;
    readonly problem: Problem | undefined;

    constructor(status: number, problem?: Problem) {
        super(problem ? `${problem.code}: ${problem.detail}` : `HTTP ${status}`);
        this.name = 'ApiError';
        this.status = status;
        this.problem = problem;
    }

    get code(): Problem['code'] | 'offline' | 'unexpected' {
        if (this.problem) return this.problem.code;
        return this.status === 0 ? 'offline' : 'unexpected';
    }

    /** Whether the same request can succeed later. */
    get isTemporary(): boolean {
        return this.status === 0 || this.status === 503 || this.status === 429;
    }
}

/** The content of an error response; undefined if it is not a problem, for example the error page of a proxy. */
export function readProblem(content: unknown): Problem | undefined {
    const isProblem = typeof content === 'object' && content !== null && 'code' in content && 'detail' in content;
    return isProblem ? (content as Problem) : undefined;
}
