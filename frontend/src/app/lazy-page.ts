import { lazyRouteComponent } from '@tanstack/react-router';
import { ApiError } from '../api/problem';

/**
 * A component that is loaded when its page is first opened.
 *
 * If its file cannot be loaded, the router loads the document again, because a new version of the console has other files.
 * While the server cannot be reached, that would replace the console with an error page of the browser, so the page reports
 * the interruption instead.
 */
export const lazyPage: typeof lazyRouteComponent = (load, name) =>
    lazyRouteComponent(async () => {
        try {
            return await load();
        } catch (error) {
            await fetch('/health/live').catch(() => {
                throw new ApiError(0);
            });
            throw error;
        }
    }, name);
