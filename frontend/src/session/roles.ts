import type { Role } from '../api/types';

const RANK: Record<Role, number> = { user: 0, analyst: 1, admin: 2 };

/** Whether a role includes the permissions of another one. */
export function isAtLeast(role: Role, needed: Role): boolean {
    return RANK[role] >= RANK[needed];
}
