import { NativeSelect } from '@mantine/core';
import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { useState } from 'react';
import { expect, test } from 'vitest';
import { api, unwrap } from '../../src/api/client';
import { JOB_STATUSES, type Schema } from '../../src/api/types';
import { CursorTable, useCursorList } from '../../src/ui/cursor-list';
import type { Column } from '../../src/ui/data-table';
import { type Received, serve, show } from './render';

const COLUMNS: Column<Schema<'JobView'>>[] = [{ id: 'task', header: 'Task', cell: ({ row }) => row.original.task }];

function List() {
    const [status, setStatus] = useState<Schema<'JobStatus'>>('pending');
    const list = useCursorList({
        queryKey: ['jobs', status],
        load: (page) => unwrap(api.GET('/api/v1/admin/jobs', { params: { query: { ...page, status } } })),
    });
    return (
        <>
            <NativeSelect
                aria-label="Status"
                data={JOB_STATUSES}
                value={status}
                onChange={(event) => setStatus(event.currentTarget.value as Schema<'JobStatus'>)}
            />
            <CursorTable
                list={list}
                rows={({ jobs }) => jobs}
                label="Jobs"
                columns={COLUMNS}
                rowId={({ id }) => id}
                empty={<p>nothing</p>}
            />
        </>
    );
}

/** Three pages of one job each; a job is named after its status and its page. */
function server(): Received[] {
    return serve(({ search }) => {
        const page = Number(search.get('cursor') ?? '1');
        const name = `${search.get('status')} ${page}`;
        return {
            status: 200,
            body: { jobs: [{ id: name, task: name }], next_cursor: page < 3 ? String(page + 1) : null, page_size: 20 },
        };
    });
}

const button = (name: string) => screen.getByRole<HTMLButtonElement>('button', { name });

test('pages are read forwards and backwards with the cursors of the server', async () => {
    const received = server();
    await show(List);
    const user = userEvent.setup();
    await screen.findByText('pending 1');
    expect(button('Previous').disabled).toBe(true);
    await user.click(button('Next'));
    await screen.findByText('pending 2');
    await user.click(button('Next'));
    await screen.findByText('pending 3');
    expect(button('Next').disabled).toBe(true);
    await user.click(button('Previous'));
    await screen.findByText('pending 2');
    await user.click(button('First page'));
    await screen.findByText('pending 1');
    expect(received.slice(0, 3).map(({ search }) => search.get('cursor'))).toEqual([null, '2', '3']);
});

test('other filters start at the first page and never send a cursor of the old filters', async () => {
    const received = server();
    await show(List);
    const user = userEvent.setup();
    await screen.findByText('pending 1');
    await user.click(button('Next'));
    await screen.findByText('pending 2');
    await user.selectOptions(screen.getByLabelText('Status'), 'processing');
    await screen.findByText('processing 1');
    expect(button('Previous').disabled).toBe(true);
    const sent = received.filter(({ search }) => search.get('status') === 'processing');
    expect(sent.map(({ search }) => search.get('cursor'))).toEqual([null]);
});

test('a list that cannot be loaded says so and can be loaded again', async () => {
    let isReachable = false;
    serve(() => {
        if (!isReachable) throw new TypeError('no connection');
        return { status: 200, body: { jobs: [], next_cursor: null, page_size: 20 } };
    });
    await show(List);
    await screen.findByText('The server cannot be reached');
    isReachable = true;
    await userEvent.setup().click(button('Try again'));
    await screen.findByText('nothing');
    await waitFor(() => expect(screen.queryByText('The server cannot be reached')).toBeNull());
});
